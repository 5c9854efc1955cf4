"""What things cost: dated price cards and exact arithmetic; the only place that knows a price."""
