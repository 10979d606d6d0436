"""The JSON API of `ringproof serve`: verifications, numbers, batches and events, for programs in any language.

`app` composes it. `models` has what callers send and get, `problems` what they get in place of an answer. The other
modules have the operations by subject.
"""
