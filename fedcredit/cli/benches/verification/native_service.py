"""The native service over the setting, as a node's control plane starts it: index file, snapshot, keys, trust."""

from __future__ import annotations

import json
import os
import threading
from datetime import UTC, datetime

import numpy as np

from fedcredit.cli.benches.verification.setting import (
    BANK,
    FIELD,
    ITEM,
    PROVIDER,
    RECORDED,
    Setting,
    certificate_der,
    signing_key,
)
from fedcredit.kernels.index import Builder, Numbers, TextColumn
from fedcredit.kernels.serving import Keys, Server, ServerSettings, trust_text
from fedcredit.node.verification.snapshot import snapshot_of

__all__ = ["NativeService"]

_CHUNK = 1 << 18
_CODE_BYTES = 18
_REFRESH_S = 60.0
_GRACE_S = 5.0


class NativeService:
    """The service, with a list of revocations that is renewed every minute, as a platform's is."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._index = setting.folder / f"{ITEM}.index"
        _build(setting)
        keys = setting.folder / PROVIDER
        trust = trust_text({BANK: ([certificate_der(setting.folder / BANK / "authority.pem")], None)})
        self._server = Server(
            ServerSettings("127.0.0.1:0", setting.logs / "native-audit"),
            self._snapshot(),
            trust,
            Keys(
                certificate=(keys / "tls.crt").read_bytes(),
                key=(keys / "tls.key").read_bytes(),
                signing_key=signing_key(setting.folder).private_bytes_raw(),
                log_key=os.urandom(32),
            ),
        )
        self.port = self._server.port
        self._ended = threading.Event()
        self._refresher = threading.Thread(target=self._refresh, daemon=True)
        self._refresher.start()

    def stop(self) -> None:
        """Answer what was taken, and close."""
        self._ended.set()
        self._refresher.join()
        self._server.drain(_GRACE_S)
        self._server.stop()

    def _refresh(self) -> None:
        while not self._ended.wait(_REFRESH_S):
            self._server.swap(self._snapshot())

    def _snapshot(self) -> str:
        setting, now = self._setting, datetime.now(UTC)
        made = json.loads(snapshot_of(PROVIDER, setting.offer, setting.policy, {ITEM: self._index}, None, now))
        issuers = [issuer.to_json() for issuer in setting.issuers]
        return json.dumps(made | {"issuers": issuers, "revocations_at": int(now.timestamp())})


def _build(setting: Setting) -> None:
    builder = Builder(ITEM, "uscc", {FIELD: "number"})
    months, codes = setting.months, setting.ids.view(np.uint8).reshape(-1, _CODE_BYTES)
    recorded = (RECORDED - datetime(1970, 1, 1, tzinfo=UTC).date()).days
    for first in range(0, setting.rows, _CHUNK):
        here = months[first : first + _CHUNK]
        starts = np.arange(len(here) + 1, dtype=np.int64) * _CODE_BYTES
        keys = TextColumn(starts, np.ascontiguousarray(codes[first : first + _CHUNK]).reshape(-1))
        builder.push(keys, {FIELD: (Numbers(here), None)}, days=np.full(len(here), recorded, np.int32))
    builder.finish(setting.folder / f"{ITEM}.index")
