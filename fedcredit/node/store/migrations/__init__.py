"""The steps from each version of the store to the next. A step that was released is never changed."""
