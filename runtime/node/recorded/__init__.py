"""`denet track`: recordings as a whole, every frame at its own pace; who is where in each."""
