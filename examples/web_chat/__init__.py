"""The chat behind a web server, with Quart-Trio (the extra `quart`).

To serve it: `hypercorn -k trio "examples.web_chat.app:make_app('talk.db')"`.
"""
