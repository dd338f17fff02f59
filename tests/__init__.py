"""The tests of Ingot, in rooms as the house's own; `support` is what they share."""
