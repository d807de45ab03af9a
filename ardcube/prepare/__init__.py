"""From a request to a plan and a store that can be written.

The models of `config` come in and are checked against files, the store and the catalogue; a plan goes out.
"""
