"""What every request passes before a route sees it, from the outside in.

`identity` names the request and adds the headers of each answer, `origin` refuses foreign hosts and
pages, `access` asks for a token, `load` refuses what is too much at once.
`exchange` sends what comes back.
"""
