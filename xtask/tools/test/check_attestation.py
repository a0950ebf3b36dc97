"""Checks an attestation without any of Slipway's code: `check_attestation.py KEYID PEM-FILE < envelope` prints the statement.

The envelope and its signature are read by securesystemslib, the statement by in-toto's own library.
"""

import json
import sys

from cryptography.hazmat.primitives.serialization import load_pem_public_key
from google.protobuf import json_format
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

keyid, pem = sys.argv[1:]
with open(pem, "rb") as file:
    key = SSlibKey.from_crypto(load_pem_public_key(file.read()), keyid=keyid)
envelope = Envelope.from_dict(json.load(sys.stdin))
envelope.verify([key], threshold=1)
statement = json_format.Parse(envelope.payload, statement_pb2.Statement())
Statement.copy_from_pb(statement).validate()
print(json.dumps({"payloadType": envelope.payload_type, "statement": json_format.MessageToDict(statement)}))
