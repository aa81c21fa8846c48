"""A report as one HTML page that needs nothing besides: a part of the page a file."""

from dbmanager.cli.formats.html.page import writer

__all__ = ["writer"]
