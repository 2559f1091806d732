"""What the user asks for: experiment and project settings, their validation and error messages.

Belongs here: typed settings, reading JSON and YAML, the family of user errors. Does not belong here: anything
that opens an image or a table.
"""
