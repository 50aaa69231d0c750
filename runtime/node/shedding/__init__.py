"""Under more load than there is time for: healthy modalities are left out, and nobody is."""
