"""What is carried over from elsewhere: the start `cells` made by distillation, starts judged frozen, APL against AML.

May import from every layer below `experiments`, and from its own package.
"""
