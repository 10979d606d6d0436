// Keeps the open inbox current, and filters it. Without this file the page is whole, and shows what was true when it
// was loaded.
"use strict";

const SECOND = 1000;
const messages = document.getElementById("messages");
const filter = document.getElementById("filter");
let etag = null;
let sent = count();
let timer = null;

document.getElementById("find").hidden = false;
document.getElementById("find").addEventListener("submit", (event) => event.preventDefault());
filter.addEventListener("input", show);

async function look() {
  timer = null;
  try {
    const answer = await fetch("/inbox/messages", { headers: etag ? { "If-None-Match": etag } : {}, cache: "no-store" });
    if (answer.status === 200) {
      etag = answer.headers.get("ETag");
      patch(messages, new DOMParser().parseFromString(await answer.text(), "text/html").body);
      show();
      tell();
    } else if (answer.status !== 304) throw new Error(answer.status);
    say("connection", "Live");
  } catch {
    say("connection", "The sandbox does not answer; it is asked again");
  }
  schedule();
}

function schedule() {
  if (!document.hidden && timer === null) timer = setTimeout(look, SECOND);
}

// A hidden page asks for nothing.
document.addEventListener("visibilitychange", () => {
  clearTimeout(timer);
  timer = null;
  if (!document.hidden) look();
});

function count() {
  return Number(messages.querySelector("[data-sent]").dataset.sent);
}

// Says in one sentence what has come, for somebody who does not see it appear.
function tell() {
  const now = count();
  const phone = messages.querySelector(".phone");
  if (now > sent && phone) {
    const code = phone.querySelector(".code").textContent;
    say("news", now - sent > 1 ? `${now - sent} new messages` : `New message for ${phone.dataset.number}: ${code}`);
  }
  sent = now;
}

function show() {
  const wanted = filter.value.replace(/\D/g, "");
  const phones = [...messages.querySelectorAll(".phone")];
  for (const phone of phones) phone.hidden = !phone.dataset.number.includes(wanted);
  const found = phones.filter((phone) => !phone.hidden).length;
  say("found", wanted ? `${found} of ${phones.length} ${phones.length === 1 ? "phone" : "phones"}` : "");
}

function say(id, text) {
  const place = document.getElementById(id);
  if (place.textContent !== text) place.textContent = text;
}

// Makes one element's content that of another, and leaves what is the same where it is: a selection and the focus stay.
function patch(now, next) {
  const old = [...now.childNodes];
  [...next.childNodes].forEach((node, place) => {
    const there = old[place];
    if (!there) now.append(node);
    else if (there.nodeName !== node.nodeName) there.replaceWith(node);
    else if (node.nodeType !== Node.ELEMENT_NODE) {
      if (there.nodeValue !== node.nodeValue) there.nodeValue = node.nodeValue;
    } else {
      for (const { name } of [...there.attributes]) if (!node.hasAttribute(name)) there.removeAttribute(name);
      for (const { name, value } of [...node.attributes]) {
        if (there.getAttribute(name) !== value) there.setAttribute(name, value);
      }
      patch(there, node);
    }
  });
  old.slice(next.childNodes.length).forEach((node) => node.remove());
}

look();
