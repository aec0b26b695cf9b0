"""What happens to models while they answer, and how one without memory recovers."""
