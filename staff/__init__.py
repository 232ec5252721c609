"""Who answers, and what do they see?"""
