"""Name the ends of a connection: in the log, the record, and reports, which `echotime path` compares with these names.

Other ends name a timeout, an error or a behavior.
"""

from __future__ import annotations

BY_CLIENT = "client"
"""The client's FIN came first."""
BY_SERVER = "server"
BY_OPERATOR = "operator"
BY_CLIENT_RESET = "client's reset"
BY_SERVER_RESET = "server's reset"
BY_OPERATOR_RESET = "operator's reset"
