"""Long proofs about money: thousands of payments while Stripe is at its worst, or time runs out."""
