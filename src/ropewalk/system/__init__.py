"""The operating system: files, folders, memory, signals; nothing here knows of models or text."""
