"""What tests work with: far ends, brokers, crowds, clocks."""
