"""The stage that labels texts, its input and its output lines."""
