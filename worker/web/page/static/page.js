// Keeps an open page current. Without this file the pages are whole, and show what was true when they were loaded.
"use strict";

const address = document.body.dataset.live;
const connection = document.getElementById("connection");
let stream = null;

function connect() {
  if (!address || stream) return;
  stream = new EventSource(address);
  stream.addEventListener("open", () => say("Live"));
  stream.addEventListener("parts", (event) => {
    for (const [name, html] of Object.entries(JSON.parse(event.data))) {
      const part = document.querySelector(`[data-part="${name}"]`);
      if (part) patch(part, new DOMParser().parseFromString(html, "text/html").body);
    }
  });
  stream.addEventListener("ended", () => location.reload()); // it leads to the login
  stream.addEventListener("error", () => {
    const isOver = stream.readyState === EventSource.CLOSED;
    say(isOver ? "Not live: load the page again" : "The connection is lost; it is tried again");
  });
}

function disconnect() {
  if (stream) stream.close();
  stream = null;
}

function say(text) {
  if (connection.textContent !== text) connection.textContent = text;
}

// Makes one element's content that of another, and leaves what is the same where it is: the focus, a text that a
// person types and an open question stay.
function patch(now, next) {
  const old = [...now.childNodes];
  [...next.childNodes].forEach((node, place) => {
    const there = old[place];
    if (!there) now.append(node);
    else if (there.nodeName !== node.nodeName || there.id !== node.id) there.replaceWith(node);
    else if (node.nodeType !== Node.ELEMENT_NODE) {
      if (there.nodeValue !== node.nodeValue) there.nodeValue = node.nodeValue;
    } else {
      for (const { name } of [...there.attributes]) {
        if (name !== "open" && !node.hasAttribute(name)) there.removeAttribute(name);
      }
      for (const { name, value } of [...node.attributes]) {
        if (name !== "open" && there.getAttribute(name) !== value) there.setAttribute(name, value);
      }
      patch(there, node);
    }
  });
  old.slice(next.childNodes.length).forEach((node) => node.remove());
}

// A browser has six connections to a server: a page that nobody looks at gives its own back.
document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connect()));
addEventListener("pagehide", disconnect);
addEventListener("pageshow", () => document.hidden || connect());
