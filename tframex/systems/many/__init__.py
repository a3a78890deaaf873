"""Systems that make many calls: samples, votes, batches."""
