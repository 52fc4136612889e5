"""The task pattern reference: the document, and its code blocks as the tests read them."""
