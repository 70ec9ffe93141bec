"""The chat page. A POST only succeeds or fails; `/live` sends the changes to every open tab."""

from __future__ import annotations

import re
import secrets
from itertools import groupby

from flask import Response, abort, make_response, redirect, render_template, request, url_for

from webapp.chat.conversations import Conversation
from webapp.errors import HearthError, InvalidRequest, ModelNotFound
from webapp.gate import server, visitor
from webapp.pages.abilities import about
from webapp.pages.drawing import words
from webapp.pages.drawing.markdown import render
from webapp.pages.room import room, wants_partial
from webapp.routing.terms import Target
from webapp.store.chats import Chat, Turn

LATEST_TURNS = 60
LONGEST_NOTED = 60
CHAT_ID = re.compile(r"[\w-]{8,32}")

blueprint = room("chat")


@blueprint.get("/")
def home() -> Response:
    return make_response(redirect(url_for("chat.new")))


@blueprint.get("/chat")
def new() -> Response:
    return _page(None, deleted=request.args.get("deleted"))


@blueprint.get("/chat/<chat_id>")
def show(chat_id: str) -> Response:
    return _page(_thread(chat_id))


@blueprint.post("/chat")
def send() -> Response:
    chat_id = request.form.get("chat", "")
    text = next((said for said in reversed(request.form.getlist("text")) if said.strip()), "")
    try:
        if not CHAT_ID.fullmatch(chat_id):
            raise InvalidRequest("This page is out of date. Reload it and send again.", "chat")
        server().chats.start(chat_id, text, _chosen().name, _think(), visitor().name)
    except HearthError as error:
        if wants_partial():
            raise
        return _page(server().chats.thread(chat_id), draft=text, refusal=str(error))
    return _done(chat_id, moved=True)


@blueprint.post("/chat/<chat_id>/stop")
def stop(chat_id: str) -> Response:
    server().chats.stop(chat_id)
    return _done(chat_id)


@blueprint.post("/chat/<chat_id>/answers/<int:answer>/again")
def regenerate(chat_id: str, answer: int) -> Response:
    chat = _thread(chat_id).chat
    server().chats.regenerate(chat_id, answer, _chosen(chat).name, _think(chat), visitor().name)
    return _done(chat_id)


@blueprint.post("/chat/<chat_id>/answers/<int:answer>/show")
def show_sibling(chat_id: str, answer: int) -> Response:
    server().chats.show(chat_id, answer)
    return _done(chat_id)


@blueprint.get("/chat/<chat_id>/answers/<int:answer>.md")
def raw(chat_id: str, answer: int) -> Response:
    """Return the answer as the model wrote it, for the "copy" button."""
    turn = next((turn for turn in _thread(chat_id).turns if turn.id == answer), None)
    if turn is None:
        abort(404)
    return Response(turn.content, mimetype="text/plain; charset=utf-8")


@blueprint.post("/chat/<chat_id>/rename")
def rename(chat_id: str) -> Response:
    server().chats.rename(chat_id, request.form.get("title", ""))
    return _done(chat_id)


@blueprint.post("/chat/<chat_id>/delete")
def delete(chat_id: str) -> Response:
    title = _thread(chat_id).chat.title
    server().chats.delete(chat_id)
    if not wants_partial():
        return make_response(redirect(url_for("chat.new", deleted=chat_id), 303))
    page = _page(None)
    page.headers["HX-Push-Url"] = url_for("chat.new")
    brief = title if len(title) <= LONGEST_NOTED else f"{title[:LONGEST_NOTED]}…"
    notice = render_template("partials/notice.html", message=f"Deleted “{brief}”.", undo=chat_id, kind="status")
    page.set_data(page.get_data(as_text=True) + notice)
    return page


@blueprint.post("/chat/<chat_id>/restore")
def restore(chat_id: str) -> Response:
    server().chats.restore(chat_id)
    if not wants_partial():
        return make_response(redirect(url_for("chat.show", chat_id=chat_id), 303))
    page = _page(_thread(chat_id))
    page.headers["HX-Push-Url"] = url_for("chat.show", chat_id=chat_id)
    return page


@blueprint.get("/chat/conversations")
def conversations() -> str:
    """Return the list alone, while somebody types into its search."""
    return conversation_list(request.args.get("q", ""), request.args.get("chat"))


@blueprint.get("/chat/about")
def introduction() -> str:
    """Return the introduction of the model just chosen in the composer."""
    return render_template("partials/model_chosen.html", about=about(_chosen()), think=None)


def conversation_list(query: str, current: str | None) -> str:
    found = server().chats.recent(query.strip())
    days = [(day, tuple(chats)) for day, chats in groupby(found, key=_day)]
    return render_template("partials/conversations.html", days=days, query=query.strip(), current=current)


def thread_values(thread: Conversation | None, chat_id: str) -> dict[str, object]:
    """Return the values for the partials of one conversation, on the page and over `/live` alike."""
    return {
        "chat": thread.chat if thread else None,
        "chat_id": chat_id,
        "markdown": render,
        "running": thread.running if thread else None,
    }


def latest_turns(thread: Conversation, everything: bool) -> tuple[Turn, ...]:
    """Return the last turns of a conversation, or all of them."""
    return thread.turns if everything else thread.turns[-LATEST_TURNS:]


def _page(thread: Conversation | None, draft: str = "", refusal: str = "", deleted: str | None = None) -> Response:
    """Return the whole page, or only its conversation when htmx asks for that."""
    chat_id = thread.chat.id if thread else secrets.token_urlsafe(9)
    chosen = _answering(thread.chat) if thread else _default()
    everything = "all" in request.args
    turns = latest_turns(thread, everything) if thread else ()
    values = thread_values(thread, chat_id) | {
        "turns": turns,
        "everything": everything,
        "earlier": len(thread.turns) - len(turns) if thread else 0,
        "targets": server().router.targets(),
        "about": about(chosen),
        "draft": draft,
        "think": thread.chat.think if thread else None,
        "refusal": refusal,
        "deleted": deleted,
        "missing": thread.chat.model if thread and thread.chat.model != chosen.name else None,
    }
    if wants_partial():
        return make_response(render_template("partials/chat.html", titled=True, **values))
    query = request.args.get("q", "")
    page = render_template("pages/chat.html", query=query, conversations=conversation_list(query, chat_id), **values)
    return make_response(page, 400 if refusal else 200)


def _done(chat_id: str, moved: bool = False) -> Response:
    """Answer htmx without a body, as `/live` sends the changes. A plain form is redirected to the conversation."""
    address = url_for("chat.show", chat_id=chat_id)
    if not wants_partial():
        return make_response(redirect(address, 303))
    response = make_response("", 204)
    if moved:
        response.headers["HX-Replace-Url"] = address
    return response


def _thread(chat_id: str) -> Conversation:
    thread = server().chats.thread(chat_id)
    if thread is None:
        abort(404)
    return thread


def _chosen(chat: Chat | None = None) -> Target:
    name = request.values.get("model") or (chat.model if chat else "")
    return server().router.resolve(name) if name else _default()


def _answering(chat: Chat) -> Target:
    """Return the target of the conversation, or the default model when that is gone."""
    try:
        return server().router.resolve(chat.model)
    except ModelNotFound:
        return _default()


def _default() -> Target:
    return Target(server().catalog.default)


def _think(chat: Chat | None = None) -> bool | None:
    """Return the form's switch for thinking; without one the conversation's, or None for the default."""
    values = request.form.getlist("think")
    if not values:
        return chat.think if chat else None
    return "on" in values


def _day(chat: Chat) -> str:
    return words.day(chat.updated)
