"""From photos to views: clean, detect, crop, background, edges."""
