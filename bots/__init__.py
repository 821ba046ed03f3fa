"""Programs that look after the project while nobody looks. None of them is published."""
