"""A small trading assistant: shop, portfolio and an assistant's memory.

Services over three databases, as they grow in one application: ``users`` and
``orders`` in ``app.db``, ``portfolio`` in ``portfolio.db``, ``memory`` in
``ai_memory.db``. Every service function takes a ``Door`` as its first argument, which
is its only way to a connection; see ``doors``.
"""
