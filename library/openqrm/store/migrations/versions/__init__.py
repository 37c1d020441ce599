"""One module per revision, in the order of `openqrm.store.schema.REVISIONS`."""
