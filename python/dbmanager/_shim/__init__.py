"""The shim: shows, routes or refuses direct ``sqlite3.connect`` calls, and can be taken away.

`calls` keeps account of them, `report` as a file, `advice` words what to write instead, `routing`
puts our `connect` in the place of the stdlib's, `switch` turns all that on and off.
"""
