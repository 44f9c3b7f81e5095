"""Reports rendered from the one JSON file: nothing here trains, judges or imports torch."""
