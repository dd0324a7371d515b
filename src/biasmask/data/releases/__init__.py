"""Readers of public data sets as they are downloaded: one file a data set, one function `read(source) -> Release`."""
