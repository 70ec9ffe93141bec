"""The web server: waitress in this process and on one port, fitted for streams and WebSockets.

The only room that imports waitress. It serves any WSGI application and must not know Flask, the
engine or what a route does. ConnectionLimits, guards and the private names it leans on: docs/server.md.
"""

from webapp.wsgi.connection_limits import ConnectionLimits
from webapp.wsgi.web_server import WebServer

__all__ = ["ConnectionLimits", "WebServer"]
