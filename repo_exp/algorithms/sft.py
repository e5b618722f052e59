"""SFT: the policy is the supervised policy; nothing is trained on rewards.

The baseline that every online method starts from and is compared with.
"""
