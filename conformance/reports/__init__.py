"""What people see: reports derive from records and from nothing else, so the same records give the same bytes."""
