"""What stands on the pages of the report: the first page, notebooks, and the files that lie beside them."""
