"""The HTML report, its sentences, and the views of JupyterLab.

Imports every layer below; imported by notebooks and the command line only.
"""
