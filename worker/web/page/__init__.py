"""The live page: what a person on call sees in a browser, and what that person can do there.

`routes` composes it, and `guard` lets people in. `live` keeps an open page current. The other modules have the pages by
subject. The pages are whole without JavaScript; `static/page.js` only replaces parts of them as they change.
"""
