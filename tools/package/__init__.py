"""What a build needs besides PyInstaller: the icon, the list of what is inside, and its size and speed."""
