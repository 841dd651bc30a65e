"""Many workers as one: who they are, how they meet, agree, and notice a loss."""
