"""What stands behind `course_lib.stable_diffusion`, one idea a module.

`service` says what every painter offers. On the way out `parameters` and `masks` check what is asked; `webui`
and `transport` carry it to an AUTOMATIC1111 server, watched by `watching`; on the way back `webui_answer` reads
what came into a `picture`, and `failures` turns what went wrong into one sentence. `openai_images` and
`firefly` are other painters. `batch` paints many, with `manifest` and `contact_sheet`.
"""
