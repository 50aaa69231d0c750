"""Files that nobody wrote: each reader is given damaged and hostile ones, seeded.

`make fuzz` runs all of it at length; the suite has a short form.
"""
