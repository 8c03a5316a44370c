"""One connection to the api, which is made again after it broke."""

import http.client

ANSWER_WITHIN_S = 15


class Connection:
    """Counts the answers by status; none is an answer that did not come."""

    def __init__(self, port):
        self.port, self.connection = port, None
        self.statuses = {}

    def post(self, path, body, headers):
        """Status and body; no status where no answer came."""
        status, answer = None, b""
        try:
            if not self.connection:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_WITHIN_S)
            self.connection.request("POST", path, body, {"Content-Type": "application/json", **headers})
            response = self.connection.getresponse()
            status, answer = response.status, response.read()
        except (OSError, http.client.HTTPException):
            status = None
            self.connection.close()
            self.connection = None
        self.statuses[status] = self.statuses.get(status, 0) + 1
        return status, answer
