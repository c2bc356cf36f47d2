# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents: what a ledger needs (recorded: 02, 06c, 11, 13)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from bson.int64 import Int64
from bson.objectid import ObjectId
from bson.timestamp import Timestamp

from .bsontext import text
from .errors import CommandError
from .hello import election_id
from .registry import Document, command
from .states import Leader
from .store import with_id

if TYPE_CHECKING:
    from .connection import ConnectionState
    from .node import Node

FIRST_BATCH = 101
_cursor_ids = itertools.count(1_000_000_001)
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": lambda value, wanted: value == wanted,
    "$ne": lambda value, wanted: value != wanted,
    "$gt": lambda value, wanted: value is not None and value > wanted,
    "$gte": lambda value, wanted: value is not None and value >= wanted,
    "$lt": lambda value, wanted: value is not None and value < wanted,
    "$lte": lambda value, wanted: value is not None and value <= wanted,
    "$in": lambda value, wanted: value in wanted,
    "$nin": lambda value, wanted: value not in wanted,
    "$exists": lambda value, wanted: (value is not None) == bool(wanted),
}


def matches(document: Document, query: Document) -> bool:
    """Equality and comparison of top-level fields. Raises CommandError 2 for anything else."""
    for name, wanted in query.items():
        if name == "$and":
            if not all(matches(document, part) for part in wanted):
                return False
        elif isinstance(wanted, dict) and any(key.startswith("$") for key in wanted):
            for operator, operand in wanted.items():
                if operator not in OPERATORS:
                    raise CommandError(2, f"unknown operator: {operator}")
                if not OPERATORS[operator](document.get(name), operand):
                    return False
        elif document.get(name) != wanted:
            return False
    return True


def _read(node: Node, namespace: str, body: Document) -> list[Document]:
    """The documents that a read sees, by its read concern. Raises CommandError 10107."""
    topology = node.topology
    if namespace == "local.system.replset":
        config = node.store.config
        return [] if config is None else [config]
    if namespace == "local.oplog.rs":
        return [entry.document for entry in node.store.oplog]
    given = body.get("readConcern", {}).get("level")
    level = given or (node.concerns.read_level if topology.replicated and not namespace.startswith("local.") else "local")
    if level == "linearizable" and topology.leader is not Leader.WRITABLE and topology.replicated:
        raise CommandError(10107, "cannot satisfy linearizable read concern on non-primary node")
    as_of = topology.majority_read if level == "majority" and topology.config is not None else None
    query = body.get("filter", body.get("query", {}))
    if as_of is None and set(query) == {"_id"} and not isinstance(query["_id"], dict):
        found = node.store.find(namespace, query["_id"])
        return [] if found is None else [found]
    return node.store.documents(namespace, as_of)


def _sorted(documents: list[Document], order: Document) -> list[Document]:
    for name, direction in reversed(order.items()):
        if name == "$natural":
            documents = documents[::-1] if direction < 0 else documents
        else:
            documents = sorted(documents, key=lambda document: _sort_key(document.get(name)), reverse=direction < 0)
    return documents


def _sort_key(value: Any) -> tuple[int, Any]:
    """Numbers before texts before the rest, as BSON orders them."""
    if value is None:
        return (0, 0)
    if isinstance(value, int | float):
        return (1, value)
    return (2, value) if isinstance(value, str) else (3, str(value))


def _projected(document: Document, projection: Document) -> Document:
    if not projection:
        return document
    included = {name for name, keep in projection.items() if keep}
    if included - {"_id"}:
        wanted = included | ({"_id"} if projection.get("_id", 1) else set())
        return {name: value for name, value in document.items() if name in wanted}
    return {name: value for name, value in document.items() if projection.get(name, 1)}


@command("find", where="opt_in")
async def find(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    namespace = f"{db}.{body['find']}"
    if body.get("readConcern", {}).get("level") == "linearizable" and node.topology.config is not None:
        _read(node, namespace, body)
        entry = node.replicate("n", "", {"msg": "linearizable read"})
        await node.topology.progress.until(lambda: node.topology.committed.optime >= entry.optime or not node.topology.writable)
    documents = [document for document in _read(node, namespace, body) if matches(document, body.get("filter", {}))]
    documents = _sorted(documents, body.get("sort", {}))[int(body.get("skip", 0)) :]
    if body.get("limit"):
        documents = documents[: abs(int(body["limit"]))]
    documents = [_projected(document, body.get("projection", {})) for document in documents]
    return _first_batch(connection, namespace, documents, int(body.get("batchSize", FIRST_BATCH)), bool(body.get("singleBatch")))


def _first_batch(connection: ConnectionState, namespace: str, documents: list[Document], size: int, single: bool) -> Document:
    batch, rest = documents[:size], documents[size:]
    cursor = 0
    if rest and not single:
        cursor = next(_cursor_ids)
        CURSORS[cursor] = rest
    if not documents:
        return {"cursor": {"id": Int64(cursor), "ns": namespace, "firstBatch": batch}}
    return {"cursor": {"firstBatch": batch, "id": Int64(cursor), "ns": namespace}}


# Cursors belong to the process, as a driver may ask for more on another connection.
CURSORS: dict[int, list[Document]] = {}


@command("getMore")
async def get_more(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    cursor = int(body["getMore"])
    rest = CURSORS.pop(cursor, None)
    if rest is None:
        raise CommandError(43, f"cursor id {cursor} not found")
    size = int(body.get("batchSize") or len(rest))
    batch, rest = rest[:size], rest[size:]
    if rest:
        CURSORS[cursor] = rest
    return {"cursor": {"nextBatch": batch, "id": Int64(cursor if rest else 0), "ns": f"{db}.{body['collection']}"}}


@command("killCursors")
async def kill_cursors(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    wanted = [int(cursor) for cursor in body["cursors"]]
    killed = [Int64(cursor) for cursor in wanted if CURSORS.pop(cursor, None) is not None]
    gone = [Int64(cursor) for cursor in wanted if cursor not in killed]
    return {"cursorsKilled": killed, "cursorsNotFound": gone, "cursorsAlive": [], "cursorsUnknown": []}


@command("endSessions", "killSessions", before_login=True)
async def end_sessions(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    return {}


@command("count", where="opt_in")
async def count(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    documents = _read(node, f"{db}.{body['count']}", body)
    return {"n": sum(matches(document, body.get("query") or {}) for document in documents)}


@command("aggregate", where="opt_in")
async def aggregate(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    """Matching, skipping, limiting and counting: what a driver's count_documents sends."""
    namespace = f"{db}.{body['aggregate']}"
    documents = _read(node, namespace, {name: value for name, value in body.items() if name == "readConcern"})
    for stage in body["pipeline"]:
        match stage:
            case {"$match": query}:
                documents = [document for document in documents if matches(document, query)]
            case {"$skip": number}:
                documents = documents[number:]
            case {"$limit": number}:
                documents = documents[:number]
            case {"$sort": order}:
                documents = _sorted(documents, order)
            case {"$group": {"_id": identity, **sums}} if all(value == {"$sum": 1} for value in sums.values()):
                documents = [{"_id": identity, **dict.fromkeys(sums, len(documents))}] if documents else []
            case {"$count": name}:
                documents = [{name: len(documents)}] if documents else []
            case _:
                raise CommandError(40324, f"Unrecognized pipeline stage name: '{next(iter(stage))}'")
    return _first_batch(connection, namespace, documents, FIRST_BATCH, single=False)


def _session(body: Document, statement: int) -> Document:
    """What an entry remembers of a retryable write."""
    if "txnNumber" not in body or "lsid" not in body:
        return {}
    return {"lsid": body["lsid"], "txnNumber": Int64(body["txnNumber"]), "stmtId": statement}


def _done_before(node: Node, body: Document) -> set[int]:
    if "txnNumber" not in body or "lsid" not in body:
        return set()
    return node.store.executed(bytes(body["lsid"]["id"]), int(body["txnNumber"]))


def _written(node: Node, reply: Document, local: bool) -> Document:
    """With what a member of a set adds to the reply of a write."""
    topology = node.topology
    if not topology.replicated:
        return reply
    if local or topology.config is None:
        return {**reply, "electionId": ObjectId("0" * 24), "opTime": Timestamp(0, 0)}
    applied = node.store.applied.optime
    return {**reply, "electionId": election_id(topology.term), "opTime": applied.document(), "$written": applied}


@command("insert", where="never", write_concern=True)
async def insert(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    namespace = f"{db}.{body['insert']}"
    done, inserted, errors = _done_before(node, body), 0, []
    for index, given in enumerate(body["documents"]):
        if index in done:
            inserted += 1
            continue
        document = with_id(given)
        if node.store.find(namespace, document["_id"]) is not None:
            shown = text({"_id": document["_id"]})
            message = f"E11000 duplicate key error collection: {namespace} index: _id_ dup key: {shown}"
            key = {"keyPattern": {"_id": 1}, "keyValue": {"_id": document["_id"]}}
            errors.append({"index": index, "code": 11000, **key, "errmsg": message})
            if body.get("ordered", True):
                break
            continue
        node.replicate("i", namespace, document, _session(body, index))
        inserted += 1
    return _written(node, {"n": inserted}, db == "local") | ({"writeErrors": errors} if errors else {})


@command("update", where="never", write_concern=True)
async def update(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    """Replacement, $set, $inc and $setOnInsert, with upsert."""
    namespace = f"{db}.{body['update']}"
    done, changed, upserted = _done_before(node, body), 0, []
    found = 0
    for index, change in enumerate(body["updates"]):
        if index in done:
            found, changed = found + 1, changed + 1
            continue
        targets = [document for document in node.documents(namespace) if matches(document, change["q"])]
        for target in targets if change.get("multi") else targets[:1]:
            found += 1
            new = _changed(target, change["u"], insert=False)
            if new != target:
                node.replicate("u", namespace, new, _session(body, index))
                changed += 1
        if not targets and change.get("upsert"):
            base = {name: value for name, value in change["q"].items() if not isinstance(value, dict) and not name.startswith("$")}
            document = with_id(_changed(base, change["u"], insert=True))
            node.replicate("i", namespace, document, _session(body, index))
            upserted.append({"index": index, "_id": document["_id"]})
            found += 1
    reply = {"n": found, "nModified": changed, **({"upserted": upserted} if upserted else {})}
    return _written(node, reply, db == "local")


def _changed(document: Document, change: Document, insert: bool) -> Document:
    """Raises CommandError 9 for an operator that the double does not know."""
    if not any(name.startswith("$") for name in change):
        return {**({"_id": document["_id"]} if "_id" in document else {}), **change}
    new = dict(document)
    for operator, fields in change.items():
        for name, value in fields.items():
            match operator:
                case "$set":
                    new[name] = value
                case "$inc":
                    new[name] = new.get(name, 0) + value
                case "$setOnInsert":
                    if insert:
                        new[name] = value
                case _:
                    raise CommandError(9, f"Unknown modifier: {operator}")
    return new


@command("delete", where="never", write_concern=True)
async def delete(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    namespace = f"{db}.{body['delete']}"
    done, deleted = _done_before(node, body), 0
    for index, change in enumerate(body["deletes"]):
        if index in done:
            deleted += 1
            continue
        targets = [document for document in node.documents(namespace) if matches(document, change["q"])]
        for target in targets[:1] if change.get("limit") else targets:
            node.replicate("d", namespace, {"_id": target["_id"]}, _session(body, index))
            deleted += 1
    return _written(node, {"n": deleted}, db == "local")


@command("drop", where="never", write_concern=True)
async def drop(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    namespace = f"{db}.{body['drop']}"
    if namespace not in node.store.collections:
        raise CommandError(26, "ns not found")
    node.replicate("c", f"{db}.$cmd", {"drop": body["drop"]})
    return {"nIndexesWas": 1, "ns": namespace}


@command("dropDatabase", where="never", write_concern=True)
async def drop_database(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    for namespace in _of_database(node, db):
        node.replicate("c", f"{db}.$cmd", {"drop": namespace.partition(".")[2]})
    return {"dropped": db}


def _of_database(node: Node, db: str) -> Iterable[str]:
    return [namespace for namespace in node.store.collections if namespace.startswith(f"{db}.")]
