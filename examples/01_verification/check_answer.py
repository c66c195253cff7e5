"""Check a signed answer offline: python check_answer.py answer.json signing.crt

Of fedcredit it takes the format alone: `verify_pb2` is what protoc makes of protos/fedcredit/v1/verify.proto.
"""

import base64
import hashlib
import json
import sys
from pathlib import Path

from cryptography import x509

from fedcredit.wire._gen import verify_pb2


def need(holds: bool, what: str) -> None:
    """Raises: ValueError unless it holds."""
    if not holds:
        raise ValueError(what)


def main(proof_path: str, certificate_path: str) -> str:
    """What was answered. Raises: ValueError, InvalidSignature."""
    kept = json.loads(Path(proof_path).read_bytes())
    request, reply = base64.b64decode(kept["request"]), verify_pb2.VerifyReply()
    reply.ParseFromString(base64.b64decode(kept["reply"]))
    answer, proof = verify_pb2.Answer.FromString(reply.answer), reply.proof
    need(answer.request == hashlib.sha256(request).digest(), "another request was answered")
    need(answer.provider == kept["provider"], "another provider answered")
    entry = json.loads(proof.entry)
    need(entry["event"] == "verified", "the entry is over no answer")
    need(entry["facts"]["answer"] == hashlib.sha256(reply.answer).hexdigest(), "the entry is over another answer")
    # The entry is a leaf of the tree whose root the head names: RFC 9162, 2.1.3.2.
    origin, size, root, _, signature, _ = proof.head.decode().split("\n")
    node, at, last = hashlib.sha256(b"\0" + proof.entry).digest(), proof.sequence, int(size) - 1
    need(at <= last, "the entry is not in the tree")
    for other in proof.path:
        need(last > 0, "the path is too long")
        is_right = at % 2 == 1 or at == last
        node = hashlib.sha256(b"\1" + (other + node if is_right else node + other)).digest()
        while is_right and at % 2 == 0 and at > 0:
            at, last = at >> 1, last >> 1
        at, last = at >> 1, last >> 1
    need(last == 0 and node == base64.b64decode(root), "the entry is not in the tree")
    need(origin == kept["provider"] + "/verify", "the head is another log's")
    # The head is signed by the provider, for this use of its key alone.
    body, use = f"{origin}\n{size}\n{root}\n".encode(), b"fedcredit/v1/audit-head"
    key = x509.load_pem_x509_certificate(Path(certificate_path).read_bytes()).public_key()
    key.verify(base64.b64decode(signature.split(" ")[2]), len(use).to_bytes(2, "big") + use + body)
    return f"{answer.provider} answered: {verify_pb2.Outcome.Name(answer.outcome)}"


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
