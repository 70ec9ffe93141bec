// The little that HTML and htmx do not do: what this tab tells the server, keys, scrolling, drafts, copying.
const one = (selector) => document.querySelector(selector);
const on = (event, listener, options) => document.addEventListener(event, listener, options);

// Live: say what this tab shows. A revision is good once: later greetings ask for the whole thread.
let socket;
function greet() {
  if (socket?.readyState !== WebSocket.OPEN) return;
  const shows = one("#chat, #audit");
  const { chat, revision = -1, all } = shows?.dataset ?? {};
  socket.send(JSON.stringify({ room: one("#main").dataset.room, chat, revision: Number(revision), all: all !== undefined }));
  shows?.removeAttribute("data-revision");
}
on("htmx:ws:after:connection", ({ detail }) => {
  socket = detail.connection.socket;
  document.body.removeAttribute("data-apart");
  one("#notices .unheard")?.remove();
  greet();
});
on("htmx:ws:close", () => document.body.toggleAttribute("data-apart", !document.hidden));

// Focus is not lost with what a swap takes away: it goes to the nearest part around it that stays,
// or from an answer to the composer, which lies next to the newest one.
let around = [];
function remember() {
  around = [];
  for (let e = document.activeElement; e && e !== document.body; e = e.parentElement) around.push(e);
}
function refocus() {
  const { activeElement: now, body } = document;
  if (now !== body && now.checkVisibility()) return;
  const still = (e) => (e.id === "thread" ? one("#composer") : e.isConnected ? e : e.id && document.getElementById(e.id));
  const stays = around.map(still).find((e) => e && e.checkVisibility());
  if (stays?.tabIndex < 0) stays.tabIndex = -1;
  stays?.focus({ preventScroll: true });
}
on("htmx:before:swap", remember);
on("htmx:after:swap", refocus);
function takeAway(notice) {
  remember();
  notice.remove();
  refocus();
}

// Scrolling: follow the answer only while the person is at the bottom.
let shown, follow = true, lastTop = 0;
const below = (box) => box.scrollHeight - box.scrollTop - box.clientHeight;
const grown = new ResizeObserver(() => (follow ? toBottom() : offerJump()));
const offerJump = () => { one("#jump").hidden = follow || below(one("#scroller")) < 120; };
function toBottom() {
  follow = true;
  const scroller = one("#scroller");
  if (scroller) scroller.scrollTop = scroller.scrollHeight;
}
on("scroll", ({ target }) => {
  if (target.id !== "scroller") return;
  if (below(target) < 40) follow = true;
  else if (target.scrollTop < lastTop) follow = false;
  lastTop = target.scrollTop;
  offerJump();
}, true);

// A conversation came on the page: its draft, its end, its live news.
const draftKey = () => `draft:${location.pathname === "/chat" ? "new" : one("#chat").dataset.chat}`;
function arrive() {
  const chat = one("#chat");
  if (!chat || chat === shown) return;
  const again = shown !== undefined;
  shown = chat;
  lastTop = 0;
  grown.disconnect();
  grown.observe(one("#thread"));
  one("#text").value ||= localStorage.getItem(draftKey()) ?? "";
  fit(one("#text"));
  toBottom();
  if (!again) return;
  greet();
  if (matchMedia("(hover: hover)").matches) one("#text").focus({ preventScroll: true });
}
on("DOMContentLoaded", arrive);
on("htmx:after:swap", arrive);
on("htmx:after:swap", () => one("#audit[data-revision]") && greet());

function fit(textarea) {
  if (CSS.supports("field-sizing", "content")) return;
  textarea.style.height = "auto";
  textarea.style.height = `${textarea.scrollHeight}px`;
}
on("input", ({ target }) => {
  if (target.id !== "text") return;
  if (target.value) localStorage.setItem(draftKey(), target.value);
  else localStorage.removeItem(draftKey());
  fit(target);
});

// Sending: the text leaves the box only when the server has it.
const running = () => one("#composer-action")?.dataset.running === "yes";
on("htmx:before:request", (event) => {
  if (event.detail.ctx.sourceElement.id !== "composer") return;
  if (running()) event.preventDefault();
  else toBottom();
});
on("htmx:after:request", ({ detail: { ctx } }) => {
  if (ctx.response.status >= 400) {
    if (ctx.response.status === 413) complain("That is more than a message can hold (1 MB). Shorten it, then send again.");
    else if (ctx.response.headers.get("content-type")?.startsWith("text/plain")) complain(ctx.text);
    return;
  }
  const form = ctx.sourceElement;
  if (form.dataset?.closes) one(`#${form.dataset.closes}`)?.hidePopover();
  const notice = form.closest?.(".notice");
  if (notice) takeAway(notice);
  if (form.id !== "composer") return;
  const [typed, ...rest] = ctx.request.body.getAll("text");
  const text = one("#text");
  localStorage.removeItem("draft:new");
  localStorage.removeItem(`draft:${one("#chat").dataset.chat}`);
  if (!rest.length && text.value.startsWith(typed)) text.value = text.value.slice(typed.length);
  fit(text);
  one("#notices").replaceChildren();
});
// No answer at all, or one from in front of the pages, which is plain text: say it in a notice.
function complain(message) {
  const notice = one("#offline").content.cloneNode(true);
  if (message) notice.querySelector("p").textContent = message;
  else notice.querySelector(".notice").classList.add("unheard");
  one("#notices").replaceChildren(notice);
}
on("htmx:error", ({ detail: { ctx } }) => ctx && complain());
on("theme", ({ detail }) => { document.documentElement.dataset.theme = detail.value; });

// Keys. An Enter that ends an input method's composition belongs to the input method, everywhere.
const writing = (target) => target.closest?.("input, textarea, select, [contenteditable]");
const composing = (event) => event.isComposing || event.keyCode === 229;
function shortcut(key) {
  if (key === "/" && one("#search")) {
    if (!one("#search").checkVisibility()) one("#conversations").showPopover();
    one("#search").focus();
  } else if (key === "n") (one("[data-new]") ?? one('.room[href="/chat"]')).click();
  else if (key === "?") one("#keys").togglePopover();
  else return false;
  return true;
}
on("keydown", (event) => {
  if (event.key === "Enter" && composing(event)) {
    if (event.target.matches("input")) event.preventDefault();
  } else if (event.key === "Enter" && !event.shiftKey && event.target.id === "text") {
    event.preventDefault();
    if (!running() && event.target.value.trim()) one("#composer").requestSubmit();
  } else if (event.key === "Escape" && running() && !one(":popover-open") && !composing(event)) {
    one("#act").click();
  } else if (!event.ctrlKey && !event.metaKey && !event.altKey && !writing(event.target) && shortcut(event.key)) {
    event.preventDefault();
  }
}, true);

// Clicks
// Over plain HTTP from another machine there is no clipboard but the old way to it.
async function copy(element) {
  if (navigator.clipboard) return navigator.clipboard.writeText(element.textContent).then(() => true);
  getSelection().selectAllChildren(element);
  return document.execCommand("copy");
}
function copied(button) {
  const use = button.querySelector("use");
  const [was, is] = use ? [use.getAttribute("href"), use.getAttribute("href").replace("#copy", "#check")] : [button.textContent, "Copied"];
  const write = (value) => (use ? use.setAttribute("href", value) : button.replaceChildren(value));
  write(is);
  one("#announce").textContent = "Copied";
  setTimeout(() => write(was), 1500);
}
on("click", async (event) => {
  const { target } = event;
  if (target.closest("#jump")) { toBottom(); one("#text").focus({ preventScroll: true }); }
  if (target.closest(".dismiss")) takeAway(target.closest(".notice"));
  if (target.closest("#conversations a") && one("#conversations:popover-open")) one("#conversations").hidePopover();
  const code = target.closest(".copy-code");
  if (code && await copy(code.closest("figure").querySelector("code"))) copied(code);
  const answer = target.closest(".copy-answer");
  if (answer && navigator.clipboard && !event.metaKey && !event.ctrlKey) {
    event.preventDefault();
    const text = fetch(answer.href).then((response) => response.blob()).then((blob) => blob.slice(0, blob.size, "text/plain"));
    await navigator.clipboard.write([new ClipboardItem({ "text/plain": text })]);
    copied(answer);
  }
});
