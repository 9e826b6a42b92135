"""What stands behind `course_lib.stable_diffusion`: pictures painted by a service, one idea a module."""
