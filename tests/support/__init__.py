"""What tests share, by subject; nothing here is a test."""
