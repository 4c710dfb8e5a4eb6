"""Settings, models on the hub and facts of each adapter; nothing here imports torch."""
