"""The parts of vision chat, one idea each; `course_lib.gpt4v` is what one uses of them.

`client` asks. On the way out `messages` makes the request and `tokens` says what it costs; `connections` carries it, as
`course_lib.providers` says where to; on the way back `answers` and `structured` check what came, and `failures` turns
what went wrong into one sentence. `remote_images` fetches a picture from an address, within limits.
"""
