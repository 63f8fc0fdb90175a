"""Problems that come with the library, from one that can be solved on paper to networks on real digits."""
